eckart lora extract model -o back
