eckart plan model --keep 0.4 -o plan.json -q >/dev/null
eckart compress model -o out --plan plan.json -q | tail -4
eckart compress single.safetensors -o out2.safetensors --plan plan.json
