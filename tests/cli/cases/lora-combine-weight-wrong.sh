eckart lora combine style=much -o sum
