eckart inspect cut.safetensors
