eckart verify model model
