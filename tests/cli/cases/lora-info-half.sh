eckart lora info half.safetensors
