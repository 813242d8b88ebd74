eckart compress model -o out --keep 0.4 --dry-run | head -5
test -e out && echo written
