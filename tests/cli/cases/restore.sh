eckart compress model -o out --keep 0.4 -q --no-verify >/dev/null
eckart restore out -o dense
ls dense
