eckart lora info single.safetensors
