eckart compress model -o out --keep 0.1 >/dev/null
