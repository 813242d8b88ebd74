eckart lora resize style -o small --size 10
