eckart lora convert style.safetensors -o peft --base model
eckart lora info peft
echo
eckart lora convert peft -o back.safetensors --to kohya
eckart lora info back.safetensors
