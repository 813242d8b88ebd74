eckart lora info style
echo
eckart lora info style.safetensors
