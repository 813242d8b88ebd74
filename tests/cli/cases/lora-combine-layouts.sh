eckart lora combine style style.safetensors -o sum
