eckart lora combine adapter style.safetensors -o sum
