eckart lora resize style -o small --rank 64
