eckart lora resize adapter -o small
