eckart lora info adapter
echo
eckart lora info style.safetensors
