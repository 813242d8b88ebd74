eckart inspect single.safetensors --include '*.query' --exclude '*.1.*'
