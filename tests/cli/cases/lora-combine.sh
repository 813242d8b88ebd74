eckart lora combine adapter=1 adapter=-0.25 -o sum --rank 4
