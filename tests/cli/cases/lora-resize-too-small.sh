eckart lora resize adapter -o small --size 10
