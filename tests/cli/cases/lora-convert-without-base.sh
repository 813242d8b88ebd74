eckart lora convert style.safetensors -o peft --base small.safetensors
