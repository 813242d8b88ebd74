eckart help verify >a
eckart verify --help >b
eckart verify -h >c
cmp a b && cmp b c && head -3 a
