eckart lora combine adapter adapter=-1 -o sum
