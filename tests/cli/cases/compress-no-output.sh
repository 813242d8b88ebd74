eckart compress model --keep 0.5
