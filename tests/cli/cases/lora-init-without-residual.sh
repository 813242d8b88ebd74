eckart lora init model -o begun --rank 4 --init pissa
