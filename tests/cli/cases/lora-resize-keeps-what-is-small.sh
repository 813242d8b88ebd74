eckart lora resize adapter -o small --rank 64
