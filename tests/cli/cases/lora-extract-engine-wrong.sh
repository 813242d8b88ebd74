eckart lora extract model model -o back --engine jacobi
