eckart lora combine style style=-1 -o sum
