eckart lora combine style=1 style=-0.25 -o sum --rank 4
