eckart bench model single.safetensors --shape '*=4'
