eckart svd wrong.mtx
