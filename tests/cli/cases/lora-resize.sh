eckart lora resize adapter -o small --rank 3
eckart lora info small
