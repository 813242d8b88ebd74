eckart compress model -o out
