eckart lora merge model adapter -o tuned -q > /dev/null
eckart lora extract model tuned -o back --engine exact --rank 8
