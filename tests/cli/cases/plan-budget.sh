eckart plan model --keep 0.4 --rank-multiple 8
