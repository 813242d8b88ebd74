eckart lora resize style -o small
