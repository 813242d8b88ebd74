eckart compress model -o model --keep 0.4 --force
