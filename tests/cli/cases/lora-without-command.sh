eckart lora
