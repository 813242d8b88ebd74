eckart compress model -o out --keep 0.4 -q --no-verify >/dev/null
eckart verify model out
