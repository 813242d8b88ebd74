# What bench writes plan reads; how long anything took is no matter.
eckart bench model --shape '*=4' --rounds 3 -o times.json >/dev/null
eckart plan model --keep 0.5 --timings times.json --json | grep -c '"ms_after": [0-9]'
eckart bench model --shape '*=4' --rounds 3 -o times.json
