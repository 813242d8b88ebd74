eckart plan model --keep 150%
