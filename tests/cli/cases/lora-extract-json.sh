eckart lora merge model style -o tuned -q > /dev/null
eckart lora extract --base model --tuned tuned -o back --engine exact --rank 8 --json -q | sed -E 's/-?[0-9]+\.[0-9e-]+/N/g'
