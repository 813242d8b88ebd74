eckart lora resize style -o small --rank 3
eckart lora info small
