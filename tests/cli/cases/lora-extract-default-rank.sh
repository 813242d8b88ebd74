eckart lora merge model style -o tuned -q > /dev/null
eckart lora extract model tuned -o back --engine exact --json -q | grep -o '"rank": [0-9]*'
