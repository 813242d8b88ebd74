eckart lora resize adapter -o small --rank 3 -q > /dev/null
eckart lora compare adapter small
