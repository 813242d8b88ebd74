eckart compress model -o out --keep 0.5 --plan plan.json
