eckart plan model --rank 60
