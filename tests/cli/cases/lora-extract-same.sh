eckart lora extract model model -o back
