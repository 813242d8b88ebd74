eckart lora merge model style -o tuned -q > /dev/null
eckart lora extract model tuned -o back --engine exact --rank 8
