eckart svd A.csv --energy 95%
