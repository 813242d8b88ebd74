eckart compress model -o out --plan plan.json --include '*'
