eckart compress model -o out --keep 0.4
