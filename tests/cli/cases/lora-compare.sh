eckart lora resize style -o small --rank 3 -q > /dev/null
eckart lora compare style small
