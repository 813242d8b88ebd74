eckart lora combine adapter=much -o sum
