eckart lora init model -o begun --rank 4
eckart lora info begun
